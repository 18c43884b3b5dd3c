"""The methods that are compared, one file each, behind a registry."""
