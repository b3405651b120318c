"""The interactive viewer: fields drawn live in a browser, beside their meshes and their context cameras. Needs viser."""
