"""Problems with known answers: published tables and simulated devices, and how methods compare on them."""
