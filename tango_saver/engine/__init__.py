"""The only room with processes, greenlets and clocks."""
