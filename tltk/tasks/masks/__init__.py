"""Building blocks of semantic segmentation: targets, loss and metric, maps in the original size, scores."""
