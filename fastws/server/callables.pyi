class AsgiCallable:
    """``receive`` or ``send`` as an app gets it."""
