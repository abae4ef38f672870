"""The whole system on one machine: Triton, its drop-in backend, and a supervisor."""
