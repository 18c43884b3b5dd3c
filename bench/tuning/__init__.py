"""Good settings for every method, found with the same budget for each: spaces, points, and the search itself."""
