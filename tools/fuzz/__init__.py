"""Damaged and malicious inputs for every reader of the project: made from seeds, read under watch."""
