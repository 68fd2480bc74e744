"""Other people's apps and clients on our server, and on uvicorn's own as the control."""
