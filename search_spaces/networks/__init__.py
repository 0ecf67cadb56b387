"""The networks of the families, in torch: made of plain numbers and imported only when a network is made."""
