# A function may be a script that prepares something and then becomes the server: `exec` keeps the process, so that
# SIGTERM reaches the server itself.
MESSAGE="Hello from a shell on $(uname -s)"
export MESSAGE
exec zeron-example-function
