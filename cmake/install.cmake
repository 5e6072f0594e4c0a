# SPDX-License-Identifier: Apache-2.0
# `find_package(splitnet)`: components core (always) and torch (when it was built).
include(CMakePackageConfigHelpers)

install(DIRECTORY include/splitnet TYPE INCLUDE)
install(TARGETS splitnet_core EXPORT splitnet_core_targets)
install(EXPORT splitnet_core_targets NAMESPACE splitnet:: FILE splitnet_core_targets.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/splitnet)
if(SPLITNET_WITH_AWS)
  install(TARGETS splitnet_aws EXPORT splitnet_core_targets)
endif()
if(SPLITNET_WITH_TORCH)
  install(TARGETS splitnet EXPORT splitnet_torch_targets)
  install(TARGETS splitnet-worker)
  install(EXPORT splitnet_torch_targets NAMESPACE splitnet:: FILE splitnet_torch_targets.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/splitnet)
endif()
configure_package_config_file(cmake/splitnetConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/splitnetConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/splitnet)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/splitnetConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/splitnetConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/splitnetConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/splitnet)
