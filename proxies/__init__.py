"""Zero-cost proxies: ``score(model, batch) -> float`` without training; they know models and batches only."""

__all__: list[str] = []
