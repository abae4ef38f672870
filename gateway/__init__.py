"""The only public door: validates, routes, streams. It loads no model and reads no file."""
