"""For plugin authors: conformance checks, and synthetic parts to run them on."""
