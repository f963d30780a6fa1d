import AnnexCore

extension ByteStream {
    /// Passes over UTF-8's byte order mark.
    ///
    /// - Throws: `.badInput` for UTF-16 and UTF-32, by their marks or by zeros among the first characters.
    func beginText() throws(AnnexError) {
        let head = try self.peek(4)
        if head.starts(with: [0xef, 0xbb, 0xbf]) {
            _ = try self.bytes(3)
            return
        }
        let zeros = head.map { $0 == 0 }
        let name: String
        if head == [0xff, 0xfe, 0, 0] || head == [0, 0, 0xfe, 0xff] {
            name = "UTF-32"
        } else if head.starts(with: [0xff, 0xfe]) || head.starts(with: [0xfe, 0xff])
            || zeros == [false, true, false, true] || zeros == [true, false, true, false]
        {
            name = "UTF-16"
        } else {
            return
        }
        throw AnnexError(
            .badInput,
            "the text is \(name), only UTF-8 is read",
            at: self.path,
            hint: "Convert it: iconv -f \(name) -t UTF-8"
        )
    }
}
