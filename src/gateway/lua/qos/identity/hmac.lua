-- SHA-256 and HMAC of the OpenSSL that nginx runs with.

local ffi = require("ffi")

-- Names of our own: other modules may declare the functions otherwise.
ffi.cdef([[
  const void *qos_evp_sha256(void) __asm__("EVP_sha256");
  unsigned char *qos_sha256(const char *data, size_t length, unsigned char *digest)
    __asm__("SHA256");
  unsigned char *qos_hmac(
    const void *type, const char *key, int key_length, const char *data, size_t length,
    unsigned char *digest, unsigned int *digest_length
  ) __asm__("HMAC");
]])

local _M = {}

local digest = ffi.new("unsigned char[32]")

function _M.sha256(text)
  ffi.C.qos_sha256(text, #text, digest)
  return ffi.string(digest, 32)
end

function _M.hmac_sha256(key, text)
  ffi.C.qos_hmac(ffi.C.qos_evp_sha256(), key, #key, text, #text, digest, nil)
  return ffi.string(digest, 32)
end

local hex_of = {}
for byte = 0, 255 do
  hex_of[string.char(byte)] = string.format("%02x", byte)
end

function _M.hex(bytes)
  return (bytes:gsub(".", hex_of))
end

return _M
