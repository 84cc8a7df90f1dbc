"""What semantic segmentation is made of: targets, loss and metric, maps in the original size, scores."""
