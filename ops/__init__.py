"""The command line `chatness`: start the processes, look at events, move the test clock, play the story."""
