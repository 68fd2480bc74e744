"""fastws."""
