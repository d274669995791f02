"""What a beamline puts into the setup file of its session to have the saver at hand."""

from bliss.common.tango import DeviceProxy

saver = DeviceProxy("demo/tango_saver/demo")
