"""The methods that see the model only as a function on masks."""
