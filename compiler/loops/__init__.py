"""What a loop need not do itself: values that are dear to make again, work before the loop, and work after it."""
