/// Says what the log answered, where that makes no sense.
package struct RedisFailure: Error, CustomStringConvertible {
    let text: String
    package var description: String { self.text }
}
