"""MobileNet V1 as model files, and loading a model into a server."""
