"""Groups of options that commands share, and the settings made from them."""
