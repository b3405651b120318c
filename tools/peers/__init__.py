"""Published methods trained and scored on our scenes, each run from its own code, which stays outside of this repository."""
