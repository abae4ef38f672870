"""A model repository: from cards and weights to what a Triton serves, built, loaded and followed.

`build` makes folders complete, `follower` keeps a Triton in step with them; both work with any
Triton. `python -m pellucid.repository` runs them.
"""
