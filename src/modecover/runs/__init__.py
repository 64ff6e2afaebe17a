"""From settings to a resumable folder, its log and its model."""
