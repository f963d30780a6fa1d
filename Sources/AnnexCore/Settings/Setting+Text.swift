/// Reads and writes a setting as text, and checks its bounds.
extension Setting {
    /// Returns the value as people say it; nil where nothing is set.
    package func text(of settings: Settings) -> String? {
        switch self.value {
        case .whole(_, let read, _): return "\(read(settings))"
        case .seconds(_, let read, _): return "\(read(settings).components.seconds)"
        case .number(_, _, let read, _):
            guard let number = read(settings) else { return nil }
            return Int(exactly: number).map { "\($0)" } ?? "\(number)"
        case .text(_, _, let read, _): return read(settings)
        }
    }

    /// Sets what a person said.
    ///
    /// - Parameters:
    ///   - label: how the error names it, as `--port` or `'port'`.
    ///   - folder: that relative paths begin at; nil: the working folder.
    /// - Throws: `.usage` for what it cannot be, with what it can.
    package func set(
        _ text: String,
        in settings: inout Settings,
        label: String,
        relativeTo folder: String? = nil
    ) throws(AnnexError) {
        switch self.value {
        case .whole(let range, _, let write):
            write(&settings, try self.whole(text, range, label))
        case .seconds(let range, _, let write):
            write(&settings, .seconds(try self.whole(text, range, label)))
        case .number(let form, let accepts, _, let write):
            guard let number = PlainNumber.decimal(text), accepts(number) else {
                throw self.refused(text, label, hint: "Give a number \(PlainNumber.advice): \(form) \(self.unit)")
            }
            write(&settings, number)
        case .text(let form, let isPath, _, let write):
            // A shell makes an empty text of a variable that is not set: as a path it would name the present folder, or
            // the root's.
            guard !text.isEmpty else { throw self.refused(text, label, hint: "Give \(form)") }
            let beside = isPath && !text.hasPrefix("/") ? folder.map { $0.isEmpty ? text : $0 + "/" + text } : nil
            do throws(AnnexError) { try write(&settings, beside ?? text) } catch {
                // The file that a setting names is not the one in which it may have been written.
                let text = error.location.map { "names \($0): \(error.message)" } ?? error.message
                throw AnnexError(error.code, "\(label) \(text)", hint: error.hint)
            }
        }
    }

    private func whole(_ text: String, _ range: ClosedRange<Int>, _ label: String) throws(AnnexError) -> Int {
        guard let number: Int = PlainNumber.whole(text), range.contains(number) else {
            let hint = "Give a whole number from \(range.lowerBound) to \(range.upperBound), \(PlainNumber.advice)"
            throw self.refused(text, label, hint: hint)
        }
        return number
    }

    private func refused(_ text: String, _ label: String, hint: String) -> AnnexError {
        AnnexError(.usage, "\(label) is '\(Printable.escape(text))'", hint: hint)
    }

    /// Looks at the bounds of what code may have set.
    ///
    /// - Throws: `.usage` for a value that must not be.
    package func check(_ settings: Settings) throws(AnnexError) {
        switch self.value {
        case .whole(let range, let read, _):
            let value = read(settings)
            guard !range.contains(value) else { return }
            let hint = "Give a value from \(range.lowerBound) to \(range.upperBound)"
            throw AnnexError(.usage, "\(self.name) is \(value)", hint: hint)
        case .seconds(let range, let read, _):
            let value = read(settings)
            let isLongEnough = range.lowerBound == 0 ? value >= .zero : value > .zero
            guard !isLongEnough || value > .seconds(range.upperBound) else { return }
            throw AnnexError(.usage, "\(self.name) is \(value)", hint: "Give a positive time of at most one year")
        case .number(let form, let accepts, let read, _):
            guard let value = read(settings), !accepts(value) else { return }
            throw AnnexError(.usage, "\(self.name) is \(value)", hint: "Give a number: \(form) \(self.unit)")
        case .text: return
        }
    }
}
