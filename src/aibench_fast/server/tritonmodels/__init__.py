"""Models of Triton's Python backend: copied into its repository, and run by its own interpreter."""
