"""`python -m fastws` is `fastws`."""

from fastws.cli import main

if __name__ == "__main__":
    main()
