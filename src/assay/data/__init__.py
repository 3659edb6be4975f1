"""Tables: from users' files and objects in memory, and from the default data sets."""
