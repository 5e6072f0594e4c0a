// SPDX-License-Identifier: Apache-2.0
#include "http_status.hpp"

namespace splitnet::detail {

unsigned status_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::unsupported_model: return 422;
    case ErrorCode::incompatible: return 409;
    case ErrorCode::corrupt: return 400;
    case ErrorCode::too_large: return 413;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::overloaded: return 503;
    case ErrorCode::unavailable: return 502;
    case ErrorCode::deadline_exceeded: return 504;
    case ErrorCode::internal: return 500;
    case ErrorCode::cancelled: return 499;  // nginx's number for a client that went away; there is no official one.
  }
  return 500;
}

ErrorCode code_of_status(unsigned status) noexcept {
  switch (status) {
    case 401:
    case 403:
    case 407: return ErrorCode::unauthenticated;
    case 408:
    case 504: return ErrorCode::deadline_exceeded;
    case 413: return ErrorCode::too_large;
    case 426:
    case 505: return ErrorCode::incompatible;
    case 429:
    case 503: return ErrorCode::overloaded;
    case 502: return ErrorCode::unavailable;
    default: break;
  }
  if (status >= 500) return ErrorCode::internal;
  // 404, 405 and what is left of 4xx: the endpoint or the request is wrong. 3xx: it is elsewhere, and the user says
  // where.
  if (status >= 300) return ErrorCode::invalid_argument;
  return ErrorCode::corrupt;
}

std::string_view reason_of_status(unsigned status) noexcept {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Error";
  }
}

}  // namespace splitnet::detail
