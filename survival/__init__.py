"""Times, events, risk: statistics only. Knows arrays, no images, no networks, no pages."""
