# ccache makes rebuilds cheap where it is installed.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

# basalt::options carries warnings, sanitizers and code generation flags to every target.
add_library(basalt_options INTERFACE)
add_library(basalt::options ALIAS basalt_options)

target_include_directories(basalt_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(basalt_options INTERFACE _GNU_SOURCE BASALT_VERSION="${PROJECT_VERSION}")
target_compile_options(basalt_options INTERFACE
    -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wswitch-enum
    -fno-omit-frame-pointer -fno-strict-aliasing)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    # CHECK(!"what is wrong") is how unreachable code says so. A struct object without bytes behind
    # it may stand inside of others.
    target_compile_options(basalt_options INTERFACE -Wthread-safety -Wno-string-conversion
        -Wno-gnu-variable-sized-type-not-at-end)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_definitions(basalt_options INTERFACE BASALT_DEBUG=1)
else()
    target_compile_definitions(basalt_options INTERFACE BASALT_DEBUG=0)
endif()
if(BASALT_SANITIZE)
    target_compile_options(basalt_options INTERFACE -fsanitize=${BASALT_SANITIZE}
        -fno-sanitize-recover=all)
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # The instrumentation misleads these analyses; builds without it keep the warnings.
        target_compile_options(basalt_options INTERFACE -Wno-maybe-uninitialized
            -Wno-format-truncation -Wno-stringop-overflow)
    endif()
    target_link_options(basalt_options INTERFACE -fsanitize=${BASALT_SANITIZE})
    set(BASALT_JEMALLOC OFF)
endif()
