"""The commands: `tools/*.py` call them. Each module has one `main(arguments)`."""
