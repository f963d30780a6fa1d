extension [UInt8] {
    /// `withUnsafeBytes` for a body that throws `AnnexError` and nothing else.
    package func lend<R>(_ body: (UnsafeRawBufferPointer) throws(AnnexError) -> R) throws(AnnexError) -> R {
        let result: Result<R, AnnexError> = self.withUnsafeBytes { bytes in
            do throws(AnnexError) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
