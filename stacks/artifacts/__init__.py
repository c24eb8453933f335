"""What has to exist before the platform: the bucket that the deployer uploads to, and the roles that deploy.

stack.py     the template
boundary.py  what no role of the platform can do
deployers/   the roles that deploy
"""
