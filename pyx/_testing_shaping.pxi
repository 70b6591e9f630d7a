# Wrappers of the shaping units.
