"""How Pellucid is run for others: images, manifests, alerts, dashboards."""
