"""Steps whose operations or blocks are recorded once for each setting, and replayed instead of launched one by one."""
