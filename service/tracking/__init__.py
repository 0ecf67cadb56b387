"""Job folders mirrored into MLflow; the only room that knows MLflow."""
