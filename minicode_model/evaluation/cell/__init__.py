"""The far side of the sandbox: the launcher, the tester and the program's process. Standard library only."""
