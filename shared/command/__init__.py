"""How a command is called and speaks: its names, options and layers of settings, what it prints, how it ends."""
