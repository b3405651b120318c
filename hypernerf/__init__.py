"""A hypernetwork that turns a few posed images of a scene into the weights of a small radiance field."""

__version__ = "0.1.0"
