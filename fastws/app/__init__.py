"""L4: the application layer, on any ASGI server.

- `messages`: messages as structs, and their formats
- `query`: query parameters as a struct
- `headers`, `origin`: request headers and cookies; which pages may connect
- `auth`, `bearer`, `keys`: who is there: JSON Web Tokens
- `faults`: what is wrong with input, in words that hold nothing of it
"""
