"""The servers that are compared, each as one would write it for that library: ten lines or so."""
