extension UInt8 {
    /// The byte in lower case where it is an ASCII letter. Names are compared so: as bytes, whatever a language says of letters.
    @inlinable
    package var lowercasedASCII: UInt8 { 0x41...0x5a ~= self ? self | 0x20 : self }
}
