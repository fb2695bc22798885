"""What is wrong with the data: scores for each image first, thresholds and sentences after."""
