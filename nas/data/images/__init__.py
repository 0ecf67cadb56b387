"""Pictures with labels: how they are stored, split, decoded, augmented and made into batches."""
