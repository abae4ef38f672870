"""What each service needs, once: server life cycle, health, deadlines, metrics, logs, channels."""
